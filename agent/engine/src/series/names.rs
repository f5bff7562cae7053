//! Metric names as numbers, for figures by metric.

use hashbrown::HashMap;

/// Most names that have a row of their own; the rest share row 0.
const MOST: usize = 1 << 16;

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
        if self.list.len() >= MOST {
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
