"""Being a good guest: how fast we connect, how many sessions a host, a platform and a recorder have to carry."""
