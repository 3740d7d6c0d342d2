"""`session.compute`: machines that applications can run on."""
