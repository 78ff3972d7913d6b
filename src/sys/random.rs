//! Random bytes from the kernel.

use std::io;

/// 32 random bytes, as much as an id of ours needs.
///
/// # Errors
/// getrandom(2), which fails only where the call is forbidden.
pub fn bytes32() -> io::Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    // SAFETY: the pointer and the length are those of the array, which lives
    // across the call; reads of up to 256 bytes are never cut short.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(count) != Ok(bytes.len()) {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes32().unwrap(), super::bytes32().unwrap());
    }
}
