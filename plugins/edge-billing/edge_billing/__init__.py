"""session.billing: what an Edge organization used, and what that costs."""
