"""The report: one HTML file that needs nothing else, and beside it pictures and tables for papers and slides.

analysis.py   runs whose trials may be compared, and every figure that is computed from them
sections.py   what the page says, from top to bottom; text.py: its sentences
charts.py tables.py grids.py   what a section is made of
page.py       the HTML file; figures.py: the folder of PNG, SVG and CSV files beside it
template.html style.css chart.js   what the page looks like, and how its curves answer
"""
