"""The benchmark and the book: programs on top of the library that nothing else imports."""
