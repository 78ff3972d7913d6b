//! Opening, duplicating and closing descriptors.
