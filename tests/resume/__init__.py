"""`make resume`: transfers that are killed and run again, and what that costs. Needs Linux (/proc)."""
