//! Frames that cannot be received or read.

/// The place before the last frame that could not be read: whether it is the same one, again and again.
#[derive(Debug)]
pub struct Unreadable<P> {
    /// Position of the last such frame, if there was one.
    before: Option<P>,
}

impl<P> Default for Unreadable<P> {
    fn default() -> Self {
        Self { before: None }
    }
}

impl<P: PartialEq> Unreadable<P> {
    /// Notes that the frame behind this place cannot be read. Says whether it could not be the last time.
    pub fn again(&mut self, place: P) -> bool {
        let again = self.before.as_ref() == Some(&place);
        self.before = Some(place);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repeated_failure_at_the_same_position_counts() {
        let mut unreadable = Unreadable::default();
        let places = [None, None, Some(1), Some(2), Some(2), None];
        let again = places.map(|place| unreadable.again(place));
        assert_eq!(again, [false, true, false, false, true, false]);
    }
}
