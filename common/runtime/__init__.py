"""What a process needs to run: settings, tasks, pacing."""
