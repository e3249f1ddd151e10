"""Reading images and labels of one's own, from files that nobody has checked."""
