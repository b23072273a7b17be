"""The table of all transitions, then one module each: guards and the plan of steps."""
