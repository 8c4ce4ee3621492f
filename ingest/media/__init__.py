"""Files and all other URLs, through FFmpeg."""
