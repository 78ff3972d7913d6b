//! What this kernel can do, probed once, as a value.
