//! One line per figure: name, value, unit, goal, and whether the goal is met.

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// For comparison only.
    None,
}

/// Prints the head of the table.
pub fn head(title: &str) {
    println!("\n{title}");
    println!("{:<62} {:>10} {:<12} {:>9}  met", "figure", "value", "unit", "goal");
}

/// Prints a figure.
pub fn figure(name: &str, value: f64, unit: &str, goal: Goal) {
    let (goal, met) = match goal {
        Goal::AtMost(most) => (format!("<= {most}"), if value <= most { "yes" } else { "NO" }),
        Goal::AtLeast(least) => (format!(">= {least}"), if value >= least { "yes" } else { "NO" }),
        Goal::None => (String::new(), ""),
    };
    println!("{name:<62} {value:>10.3} {unit:<12} {goal:>9}  {met}");
}
