"""Reading events again: from the stream or from a file, to compare, to list, to build projections anew beside
the live ones. Nothing here can publish: it is connected to what it reads, and to one schema of its own."""
