"""What every room uses: text, output files, processors, interrupts, arithmetic."""
