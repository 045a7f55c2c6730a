"""What the commands share at the terminal: options, exit codes, tables and progress."""
