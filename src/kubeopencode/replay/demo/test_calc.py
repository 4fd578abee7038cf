"""Run with: python3 -m unittest"""

import unittest

import calc


class CalculatorTest(unittest.TestCase):
    """What a calculator must get right."""

    def test_adds(self):
        """Two and three are five."""
        self.assertEqual(calc.add(2, 3), 5)

    def test_multiplies(self):
        """Two times three are six."""
        self.assertEqual(calc.multiply(2, 3), 6)


if __name__ == "__main__":
    unittest.main()
