"""What metrics compare with: moments and features of real images, in the forms in which they are published."""
