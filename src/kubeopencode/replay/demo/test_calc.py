"""Run with: python3 -m unittest"""

import unittest

import calc


class CalculatorTest(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(calc.add(2, 3), 5)

    def test_multiplies(self):
        self.assertEqual(calc.multiply(2, 3), 6)


if __name__ == "__main__":
    unittest.main()
