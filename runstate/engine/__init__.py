"""Factory and Container; the machine; the step runner; transition hooks; recovery."""
