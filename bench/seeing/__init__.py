"""What the programs that measure inference share: pictures of many kinds of camera, a bare loop beside ours."""
