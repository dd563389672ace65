"""The static page: its sources in TypeScript, its build, and the files that the installed package carries."""
