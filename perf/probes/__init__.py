"""What is read of the machine and of the processes while a measurement runs."""
