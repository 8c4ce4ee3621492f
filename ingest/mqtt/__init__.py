"""Sensors over MQTT: sessions, SenML and JSON mapping, signals."""
