"""What is captured beside other apps, on one installation; as a package, it ends with them."""
