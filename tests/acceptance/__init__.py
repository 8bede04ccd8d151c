"""What a person does, from the command line to the result."""
