//! Cutting a new process loose from whoever typed the command.
