//! Arithmetic on sequence numbers, which may have more digits than any integer type holds.

/// The decimal number after `seq`: where a stream resumes that saw `seq` last. `None` if it is no decimal number.
pub fn after(seq: &str) -> Option<String> {
    if seq.is_empty() || !seq.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nines = seq.bytes().rev().take_while(|b| *b == b'9').count();
    let (head, tail) = seq.split_at(seq.len() - nines);
    let zeros = "0".repeat(tail.len());
    let mut head = head.to_owned();
    Some(match head.pop() {
        Some(digit) => format!("{head}{}{zeros}", char::from(digit as u8 + 1)),
        None => format!("1{zeros}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_number_after_carries_over_any_number_of_digits() {
        assert_eq!(after("1").as_deref(), Some("2"));
        assert_eq!(after("199").as_deref(), Some("200"));
        assert_eq!(after("999").as_deref(), Some("1000"));
        assert_eq!(
            after("123456789012345678901234567890123456789099").as_deref(),
            Some("123456789012345678901234567890123456789100")
        );
        assert_eq!(after("007").as_deref(), Some("008"));
        for bad in ["", "-1", "1.0", "1e3", "٣"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_number_after_equals_integer_addition(n in 0u128..u128::MAX) {
            prop_assert_eq!(after(&n.to_string()), Some((n + 1).to_string()));
        }
    }
}
