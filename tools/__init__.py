"""What contributors run; nothing here is shipped."""
