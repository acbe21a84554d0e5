"""What records say: statistics, tables, and what lies behind the choice of a mode."""
