"""What a crash, a cut link or a full disk leaves behind."""
