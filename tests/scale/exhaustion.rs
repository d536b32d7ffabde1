//! More connections than may be under way, and more than there are descriptors.
