"""Instagram by instaloader, politely and resumably."""
