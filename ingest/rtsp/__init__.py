"""RTSP 1.0 and RTP: sessions, depacketizing, timing."""
