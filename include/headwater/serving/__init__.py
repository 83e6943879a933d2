"""What all surfaces that answer questions share."""
