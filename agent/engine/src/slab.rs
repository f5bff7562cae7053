//! A list that grows by whole chunks: nothing that lies in it is ever copied to grow, so that there
//! is neither a moment at which it exists twice nor room for as much again that nobody uses.

/// Bytes of a chunk: what allocators hand out without a remainder.
const BYTES: usize = 64 * 1024;

/// A growing list, by number.
#[derive(Debug)]
pub struct Slab<T> {
    /// All but the last are full.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Entries of a chunk.
    const CHUNK: usize = {
        let fit = BYTES / size_of::<T>();
        if fit < 16 { 16 } else { fit }
    };

    /// Entries in it.
    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * Self::CHUNK;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    /// Entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }

    /// The entry with this number.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.chunks
            .get(number / Self::CHUNK)?
            .get(number % Self::CHUNK)
    }

    /// The entry with this number.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.chunks
            .get_mut(number / Self::CHUNK)?
            .get_mut(number % Self::CHUNK)
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, entry: T) {
        let last = self.chunks.len().saturating_sub(1);
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => {
                // The first chunk of a small list grows as it is needed; any other is made whole.
                if last > 0 && chunk.capacity() < Self::CHUNK {
                    chunk.reserve_exact(Self::CHUNK - chunk.len());
                }
                chunk.push(entry);
            }
            Some(_) => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
            None => self.chunks.push(vec![entry]),
        }
    }

    /// Grows to `len` entries; never shrinks.
    pub fn grow_to(&mut self, len: usize, mut make: impl FnMut() -> T) {
        for _ in self.len()..len {
            self.push(make());
        }
    }

    /// All entries, by number.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All entries, by number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = Slab::<usize>::CHUNK;

    #[test]
    fn entries_are_found_by_number_however_many_there_are() {
        let mut slab = Slab::default();
        assert_eq!((slab.len(), slab.get(0)), (0, None));
        for n in 0..CHUNK * 3 + 7 {
            assert_eq!(slab.len(), n);
            slab.push(n);
        }
        assert!(slab.iter().enumerate().all(|(n, entry)| n == *entry));
        assert_eq!(slab.get(CHUNK * 3 + 6), Some(&(CHUNK * 3 + 6)));
        assert_eq!(slab.get(CHUNK * 3 + 7), None);
        if let Some(entry) = slab.get_mut(CHUNK) {
            *entry = 0;
        }
        assert_eq!(slab.iter().filter(|n| **n == 0).count(), 2);
        slab.grow_to(CHUNK * 4 + 1, || 9);
        assert_eq!((slab.len(), slab.get(CHUNK * 4)), (CHUNK * 4 + 1, Some(&9)));
        slab.iter_mut().for_each(|n| *n = 1);
        assert!(slab.iter().all(|n| *n == 1) && slab.capacity() == CHUNK * 5);
    }
}
