"""What is made of numbers over time: expressions over metrics, and bands of what is usual."""
