"""The report: one HTML file that needs nothing else, and beside it pictures and tables for papers and slides.

analysis.py   runs whose trials may be compared, and every figure that is computed from them
charts.py cells.py grids.py   what a section (bench/report/sections) is made of; text.py: sentences
page.py       the HTML file; figures.py: what PNG, SVG and CSV files beside it are made of
template.html style.css chart.js   what the page looks like, and how its curves answer
"""
