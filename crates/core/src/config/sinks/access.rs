//! Who may read a file that a sink writes.

/// The mode of a new file that holds a token, where the policy names none: its owner alone.
pub const DEFAULT_MODE: u32 = 0o600;

/// Who may read a file. What is `None` stays as it is in an existing file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FileAccess {
    /// Permission bits, such as `0o640`.
    pub mode: Option<u32>,
    /// Name or id of the user.
    pub owner: Option<String>,
    /// Name or id of the group.
    pub group: Option<String>,
}
