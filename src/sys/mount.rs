//! The mount API by descriptor: fsopen(2), open_tree(2), move_mount(2), mount_setattr(2).
