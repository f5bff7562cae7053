//! Metric names as numbers, for figures by metric.

use hashbrown::HashMap;

/// Most names that have a row of their own; the rest share row 0.
const MOST: usize = 1 << 16;

/// Most bytes of a name that has a row of its own; OpenTelemetry's instruments end at 255 characters.
const LONGEST: usize = 255;

/// Metric names seen, numbered from 1; 0 stands for the rest.
#[derive(Debug)]
pub struct Names {
    list: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            list: vec!["(other)".into()],
            numbers: HashMap::new(),
        }
    }
}

impl Names {
    /// The number of a name.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.list.len() >= MOST || name.len() > LONGEST {
            return 0;
        }
        let number = self.list.len() as u32;
        self.list.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The name of a number.
    pub fn name(&self, number: usize) -> &str {
        self.list.get(number).map_or("", |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_long_or_too_many_share_a_row() {
        let mut names = Names::default();
        assert_eq!(names.number(&"x".repeat(LONGEST)), 1);
        assert_eq!(names.number(&"x".repeat(LONGEST + 1)), 0);
        for n in 0..2 * MOST {
            names.number(&n.to_string());
        }
        assert_eq!((names.list.len(), names.number("new")), (MOST, 0));
        assert_eq!(names.name(0), "(other)");
    }
}
