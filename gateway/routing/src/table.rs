//! x
/// x
pub struct RouteTable;
/// x
pub struct Matches;
