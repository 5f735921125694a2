//! Values by number, of which free ones are given again.

use std::ops::{Index, IndexMut};

/// Values by number. What is given back stays until its number is given again.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            values: vec![],
            free: vec![],
        }
    }
}

impl<T> Numbered<T> {
    /// Adds a value, and returns its number.
    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self[number] = value;
            return number;
        }
        self.values.push(value);
        (self.values.len() - 1) as u32
    }

    /// The number below which all are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Gives a number back.
    pub(super) fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
}

impl<T> Index<u32> for Numbered<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

impl<T> IndexMut<u32> for Numbered<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.values[number as usize]
    }
}
