"""The facts of this system: its processes, queues, logins and servers."""
