"""What the whole library uses: text, output files, processors, interrupts, arithmetic."""
