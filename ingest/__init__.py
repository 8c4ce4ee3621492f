"""Receives: cameras over RTSP without decoding, files and other URLs through FFmpeg, sensors over MQTT."""
