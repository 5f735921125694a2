//! x
/// x
pub struct FilterIndex;
