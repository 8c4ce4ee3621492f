"""The load side of the ingest measurements: an RTSP server for thousands of streams, a consumer that counts."""
