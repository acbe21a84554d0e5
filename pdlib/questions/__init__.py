"""Questions of the real data sets: rows become items, and answers to items are graded."""
